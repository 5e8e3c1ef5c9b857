using System;
using System.Collections.Generic;
using System.Threading.Tasks;

namespace GameServer.Client
{
    /// <summary>What all services have in common.</summary>
    public abstract class Service
    {
        readonly GameClient client;
        readonly string name;

        internal Service(GameClient client, string name)
        {
            this.client = client;
            this.name = name;
        }

        internal async Task<T> Run<T>(
            string operation, Func<IDictionary<string, object>, T> make, params Parameter[] parameters)
        {
            var data = new Dictionary<string, object>();
            foreach (Parameter parameter in parameters)
            {
                if (parameter.IsNeeded || parameter.Value != null)
                {
                    data[parameter.Name] = parameter.Value;
                }
            }
            return make((await client.CallAsync(name, operation, data).ConfigureAwait(false)).Members);
        }

        internal static Parameter Needed(string name, object value)
        {
            return new Parameter(name, value, true);
        }

        internal static Parameter Optional(string name, object value)
        {
            return new Parameter(name, value, false);
        }

        /// <summary>A parameter of a call. An optional one that is null is not sent.</summary>
        internal struct Parameter
        {
            internal readonly string Name;
            internal readonly object Value;
            internal readonly bool IsNeeded;

            internal Parameter(string name, object value, bool isNeeded)
            {
                Name = name;
                Value = value;
                IsNeeded = isNeeded;
            }
        }
    }
}
